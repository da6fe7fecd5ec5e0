/** The entry `mcp-anynode/lambda`: the endpoint as the handler of a function on AWS Lambda. */
export { lambdaHandler } from './lambda-handler.js';
export type { FetchServer, LambdaHandler, LambdaOptions } from './lambda-handler.js';
export type { LambdaContext, LambdaEvent, LambdaResult } from './lambda-event.js';
