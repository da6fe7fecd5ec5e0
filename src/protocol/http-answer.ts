/** The HTTP response that stands for a JSON-RPC answer, where that is not 200 with the answer as its body. */
export interface HttpAnswer {
  status: number;
  headers: Record<string, string>;
  body: string;
}
