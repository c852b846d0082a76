// Streams one turn through OpenAI's client for Node, and prints what the client made of it as JSON.

import OpenAI from 'openai';

const { RAYROOM_URL: baseURL, RAYROOM_TOKEN: apiKey } = process.env;
const [model, content] = process.argv.slice(2);

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 20_000 });
const stream = client.chat.completions.stream({
  model,
  messages: [{ role: 'user', content }],
  stream_options: { include_usage: true },
});

let chunks = 0;
for await (const _ of stream) chunks += 1;

const { choices, usage } = await stream.finalChatCompletion();
const [{ message, finish_reason: finish }] = choices;
console.log(JSON.stringify({ text: message.content, finish, usage, chunks }));
