import { render } from 'preact';
import { App } from './app.js';
import { openFeed } from './feed.js';
import './style.css';

const root = document.getElementById('app');
if (root !== null) {
  try {
    render(<App feed={await openFeed()} />, root);
  } catch (error) {
    render(
      <main class="fatal">
        <h1>mcp-anynode</h1>
        <p>The server of this page does not answer: {String(error)}</p>
      </main>,
      root,
    );
  }
}
