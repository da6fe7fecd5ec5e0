/** The entry `mcp-anynode/codec`: a codec that encrypts what is stored of sessions, and the interface of other codecs. */
export { aesGcmCodec } from './aes-gcm.js';
export type { AesGcmOptions } from './aes-gcm.js';
export type { PayloadCodec, PayloadContext } from '../backplane/encoded/payloads.js';
