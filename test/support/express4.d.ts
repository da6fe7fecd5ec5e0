/** Express 4 under a name of its own comes without types; what is used of it here is the same in both. */
declare module 'express4' {
  import express from 'express';
  export default express;
}
