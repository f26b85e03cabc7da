// Uses the official TypeScript SDK as a user would. The same scenarios and the same line protocol
// as tests/conformance/sdk/driver.py.
import readline from "node:readline";
import Anthropic from "@anthropic-ai/sdk";

const TOOL = {
  name: "get_weather",
  description: "The weather in a city.",
  input_schema: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
  },
};
const HELLO = [{ role: "user", content: "Say hello." }];
const WEATHER = [{ role: "user", content: "What is the weather in Hangzhou?" }];

const facts = (message) => ({
  model: message.model,
  role: message.role,
  stop_reason: message.stop_reason,
  stop_sequence: message.stop_sequence,
  content: message.content,
  input_tokens: message.usage.input_tokens,
  cache_read_input_tokens: message.usage.cache_read_input_tokens,
  cache_creation_input_tokens: message.usage.cache_creation_input_tokens,
  output_tokens: message.usage.output_tokens,
});

const scenarios = {
  async create(client, model) {
    const message = await client.messages.create({ model, max_tokens: 64, messages: HELLO });
    return { ...facts(message), request_id: message._request_id };
  },
  async stream(client, model) {
    const stream = client.messages.stream({ model, max_tokens: 64, messages: HELLO });
    const events = [];
    for await (const event of stream) events.push(event.type);
    return { ...facts(await stream.finalMessage()), events };
  },
  async text_stream(client, model) {
    let text = "";
    const stream = client.messages.stream({ model, max_tokens: 64, messages: HELLO });
    stream.on("text", (piece) => (text += piece));
    await stream.done();
    return { text };
  },
  async tool_round_trip(client, model) {
    const options = { model, max_tokens: 200, tools: [TOOL] };
    const first = await client.messages.create({ ...options, messages: WEATHER });
    const results = first.content
      .filter((block) => block.type === "tool_use")
      .map((call) => ({ type: "tool_result", tool_use_id: call.id, content: "18 C" }));
    const messages = [
      ...WEATHER,
      { role: "assistant", content: first.content },
      { role: "user", content: results },
    ];
    const second = await client.messages.create({ ...options, messages });
    return { first: facts(first), second: facts(second) };
  },
  async tool_stream(client, model) {
    const options = { model, max_tokens: 200, tools: [TOOL], messages: WEATHER };
    return facts(await client.messages.stream(options).finalMessage());
  },
  async forced_tool(client, model) {
    const tools = [TOOL, { ...TOOL, name: "get_time" }];
    const tool_choice = { type: "tool", name: "get_weather" };
    const options = { model, max_tokens: 200, tools, tool_choice, temperature: 0, messages: HELLO };
    return facts(await client.messages.create(options));
  },
  async any_tool(client, model) {
    const tool_choice = { type: "any" };
    const options = { model, max_tokens: 200, tools: [TOOL], tool_choice, temperature: 0, messages: HELLO };
    return facts(await client.messages.create(options));
  },
  async thinking(client, model) {
    const options = {
      model,
      max_tokens: 1100, // a small model may ramble to the end of it
      thinking: { type: "enabled", budget_tokens: 1024 },
    };
    const first = await client.messages.stream({ ...options, messages: HELLO }).finalMessage();
    const messages = [
      ...HELLO,
      { role: "assistant", content: first.content },
      { role: "user", content: "And again." },
    ];
    const second = await client.messages.create({ ...options, messages });
    return { first: facts(first), second: facts(second) };
  },
  async count_tokens(client, model) {
    const count = await client.messages.countTokens({ model, messages: HELLO, tools: [TOOL] });
    return { input_tokens: count.input_tokens };
  },
  async models(client, model) {
    const ids = [];
    for await (const entry of client.models.list({ limit: 1 })) ids.push(entry.id);
    const one = await client.models.retrieve(model);
    return { ids, id: one.id, display_name: one.display_name, type: one.type };
  },
  async error(client, model) {
    try {
      const options = { model, max_tokens: 64, messages: HELLO };
      await client.messages.create(options, { maxRetries: 0 });
    } catch (failure) {
      return {
        class: failure.constructor.name,
        status: failure.status,
        type: failure.error?.error?.type,
        message: failure.error?.error?.message,
        request_id: failure.requestID,
      };
    }
    return { class: null };
  },
  async stream_error(client, model) {
    let text = "";
    try {
      const stream = client.messages.stream({ model, max_tokens: 64, messages: HELLO });
      stream.on("text", (piece) => (text += piece));
      await stream.done();
    } catch (failure) {
      return { text, type: failure.error?.error?.type ?? failure.type ?? failure.constructor.name };
    }
    return { text, type: null };
  },
  async retry(client, model) {
    return facts(await client.messages.create({ model, max_tokens: 64, messages: HELLO }));
  },
  async cancel(client, model) {
    const options = { model, max_tokens: 64, messages: HELLO, stream: true };
    const stream = await client.messages.create(options);
    for await (const event of stream) {
      if (event.type === "content_block_delta") return { saw: event.type };
    }
    return { saw: null };
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  const client = new Anthropic({
    baseURL: order.base_url,
    apiKey: order.key,
    timeout: 300_000,
    maxRetries: 2,
  });
  let answer;
  try {
    answer = await scenarios[order.scenario](client, order.model);
  } catch (failure) {
    answer = { crashed: String(failure.stack ?? failure) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
