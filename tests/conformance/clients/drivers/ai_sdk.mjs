// Vercel's AI SDK.
import { createAnthropic } from "@ai-sdk/anthropic";
import { Output, generateObject, generateText, stepCountIs, streamObject, streamText, tool } from "ai";
import { z } from "zod";
import { drive } from "./lines.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;

const Person = z.object({ name: z.string(), age: z.number() });
const hello = { system: "Be brief.", prompt: "Say hello." };

const base = ({ server, key, model }) => ({
  model: createAnthropic({ baseURL: `${server}/anthropic/v1`, apiKey: key })(model),
  maxRetries: 0,
});

function weather(called) {
  return {
    get_weather: tool({
      description: "The weather in a city.",
      inputSchema: z.object({ city: z.string() }),
      execute: async (input) => {
        called.push(input);
        return "18 C";
      },
    }),
  };
}

const loop = (order, called) => ({
  ...base(order),
  tools: weather(called),
  stopWhen: stepCountIs(3),
  prompt: "What is the weather in Hangzhou?",
});

const thinkingOptions = {
  providerOptions: { anthropic: { thinking: { type: "enabled", budgetTokens: 2000 } } },
};

drive({
  async text(order) {
    const got = await generateText({ ...base(order), ...hello });
    return { text: got.text, tokens: got.usage.inputTokens };
  },
  async stream(order) {
    const got = streamText({ ...base(order), ...hello });
    const pieces = [];
    for await (const piece of got.textStream) pieces.push(piece);
    return { pieces, tokens: (await got.usage).inputTokens };
  },
  async tools(order) {
    const called = [];
    const got = await generateText(loop(order, called));
    return { called, text: got.text };
  },
  async tools_stream(order) {
    const called = [];
    const got = streamText(loop(order, called));
    await got.consumeStream();
    return { called, text: await got.text };
  },
  async structured(order) {
    const got = await generateObject({ ...base(order), schema: Person, prompt: "Who?" });
    return got.object;
  },
  async structured_output(order) {
    const output = Output.object({ schema: Person });
    const got = await generateText({ ...base(order), output, prompt: "Who?" });
    return got.output;
  },
  async structured_stream(order) {
    const got = streamObject({ ...base(order), schema: Person, prompt: "Who?" });
    for await (const _ of got.partialObjectStream);
    return await got.object;
  },
  async thinking(order) {
    const options = { ...base(order), ...thinkingOptions };
    const messages = [{ role: "user", content: "Say hello." }];
    const first = await generateText({ ...options, messages });
    messages.push(...first.response.messages, { role: "user", content: "And again." });
    const second = await generateText({ ...options, messages });
    return { thoughts: [first.reasoningText], texts: [first.text, second.text] };
  },
  async error(order) {
    try {
      await generateText({ ...base(order), ...hello });
    } catch (failure) {
      return { status: failure.statusCode, said: failure.message };
    }
    return {};
  },
  async stream_error(order) {
    const failures = [];
    const onError = ({ error }) => failures.push(error?.message ?? JSON.stringify(error));
    const got = streamText({ ...base(order), ...hello, onError });
    let text = "";
    for await (const piece of got.textStream) text += piece;
    return { text, said: failures.join("; ") };
  },
});
