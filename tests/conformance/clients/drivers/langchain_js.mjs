// LangChain for JavaScript.
import { ChatAnthropic } from "@langchain/anthropic";
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { z } from "zod";
import { drive } from "./lines.mjs";

const Person = z.object({ name: z.string(), age: z.number() });
const hello = [
  ["system", "Be brief."],
  ["human", "Say hello."],
];

const getWeather = tool(async () => "18 C", {
  name: "get_weather",
  description: "The weather in a city.",
  schema: z.object({ city: z.string() }),
});

const chat = ({ server, key, model }, options = {}) =>
  new ChatAnthropic({
    model,
    apiKey: key,
    anthropicApiUrl: `${server}/anthropic`,
    maxRetries: 0,
    ...options,
  });

async function streamed(model, messages) {
  let whole;
  for await (const piece of await model.stream(messages)) {
    whole = whole === undefined ? piece : whole.concat(piece);
  }
  return whole;
}

async function loop(order, ask) {
  const model = chat(order).bindTools([getWeather]);
  const history = [new HumanMessage("What is the weather in Hangzhou?")];
  const called = [];
  for (;;) {
    const got = await ask(model, history);
    history.push(got);
    if (!got.tool_calls.length) return { called, text: got.text };
    for (const call of got.tool_calls) {
      called.push(call.args);
      const content = await getWeather.invoke(call.args);
      history.push(new ToolMessage({ content, tool_call_id: call.id }));
    }
  }
}

drive({
  async text(order) {
    const got = await chat(order).invoke(hello);
    return { text: got.text, tokens: got.usage_metadata.input_tokens };
  },
  async stream(order) {
    const pieces = [];
    let whole;
    for await (const piece of await chat(order).stream(hello)) {
      if (piece.text) pieces.push(piece.text);
      whole = whole === undefined ? piece : whole.concat(piece);
    }
    return { pieces, tokens: whole.usage_metadata.input_tokens };
  },
  tools: (order) => loop(order, (model, history) => model.invoke(history)),
  tools_stream: (order) => loop(order, streamed),
  structured: (order) => chat(order).withStructuredOutput(Person).invoke("Who?"),
  structured_schema: (order) =>
    chat(order).withStructuredOutput(Person, { method: "jsonSchema" }).invoke("Who?"),
  async thinking(order) {
    const options = { maxTokens: 4000, thinking: { type: "enabled", budget_tokens: 2000 } };
    const model = chat(order, options);
    const first = await model.invoke(hello);
    const thoughts = first.content.filter((b) => b.type === "thinking").map((b) => b.thinking);
    const second = await model.invoke([...hello, first, ["human", "And again."]]);
    return { thoughts, texts: [first.text, second.text] };
  },
  async error(order) {
    try {
      await chat(order).invoke(hello);
    } catch (failure) {
      return { status: failure.status, said: failure.message };
    }
    return {};
  },
  async stream_error(order) {
    let text = "";
    try {
      for await (const piece of await chat(order).stream(hello)) text += piece.text;
    } catch (failure) {
      return { text, said: failure.message };
    }
    return { text };
  },
});
