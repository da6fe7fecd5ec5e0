/** `mcp-anynode/codec`: encryption of what is stored of sessions, ready-made, and what another codec has to be. */
export { aesGcmCodec } from './aes-gcm.js';
export type { AesGcmOptions } from './aes-gcm.js';
export type { PayloadCodec, PayloadContext } from '../backplane/encoded/payloads.js';
