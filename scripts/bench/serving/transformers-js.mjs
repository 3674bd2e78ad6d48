// transformers.js behind Node's HTTP server, with the requests and answers of `bertune serve`: each call by itself, as its pipeline
// takes them.
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { pipeline } from '@huggingface/transformers';

const [, , directory = ''] = process.argv;
const classify = await pipeline('text-classification', directory, { dtype: 'fp32' });
const server = createServer((request, response) => {
  void answer(request).then((answer) => {
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify([answer]));
  });
});

/** @param {import('node:http').IncomingMessage} request */
async function answer(request) {
  const { inputs } = JSON.parse(await text(request));
  return classify(inputs, { top_k: null });
}

server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : '';
  process.stderr.write(`Serving ${directory} at http://127.0.0.1:${port} \n`);
});
