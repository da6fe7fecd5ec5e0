/** Express 4 is installed under another name, and has no types. The parts that tests use are the same as in Express 5. */
declare module 'express4' {
  import express from 'express';
  export default express;
}
