// transformers.js behind Node's HTTP server, with the requests and answers of `bertune serve`: each call by itself, as its pipeline
// takes them.
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { pipeline } from '@huggingface/transformers';

const [, , directory = ''] = process.argv;
const classify = await pipeline('text-classification', directory, { dtype: 'fp32' });
const server = createServer((request, response) => void answer(request, response));

/** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
async function answer(request, response) {
  const { inputs } = JSON.parse(await text(request));
  const labels = await classify(inputs, { top_k: null });
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify([labels]));
}

server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : '';
  process.stderr.write(`Serving ${directory} at http://127.0.0.1:${port} \n`);
});
