/**
 * The response, with a body that ends after so many messages have passed.
 *
 * Ending it cancels the real one, which closes the connection: the server sees its client go in mid-stream.
 */
export function cutAfter(response: Response, messages: number): Response {
  if (response.body === null) return response;
  const decoder = new TextDecoder();
  let passed = 0;
  const scissors = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      controller.enqueue(chunk);
      passed += decoder.decode(chunk, { stream: true }).split('"method"').length - 1;
      if (passed >= messages) controller.terminate();
    },
  });
  const { status, headers } = response;
  return new Response(response.body.pipeThrough(scissors), { status, headers });
}
