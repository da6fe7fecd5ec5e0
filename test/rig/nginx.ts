import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireBinary } from './binaries.js';
import { startOnPort, startService, type Service } from './service.js';

export interface NginxOptions {
  /** The ports of the nodes, on the loopback interface. Requests go to them in turn. */
  upstreams: readonly number[];
  /** Left out or 0: a free one. */
  port?: number;
  /** What is in the `http` block for the nodes, instead of a plain balancer: called with the port to listen on. */
  servers?: (port: number) => string;
}

export interface Nginx {
  port: number;
  url: string;
  /** The last part of its log. */
  readonly output: string;
  stop: () => Promise<void>;
}

/**
 * Starts nginx as a plain round-robin balancer: nothing sticky, each request goes to the next node.
 *
 * It runs as any user and beside the system's nginx, as all its files are in a folder of its own.
 * Throws with nginx' log if it does not start, and says what to do if it is not installed.
 */
export async function startNginx(options: NginxOptions): Promise<Nginx> {
  const program = requireBinary('nginx');
  const dir = await mkdtemp(join(tmpdir(), 'anynode-nginx-'));
  const cleanUp = (): Promise<void> => rm(dir, { recursive: true, force: true });
  try {
    const { port, service } = await startOnPort(options.port, (port) =>
      launchNginx(program, dir, port, options),
    );
    const stop = async (): Promise<void> => {
      await service.stop();
      await cleanUp();
    };
    const url = `http://127.0.0.1:${port}`;
    const { output } = service;
    return {
      ...{ port, url, stop },
      get output() {
        return output.text;
      },
    };
  } catch (error) {
    await cleanUp();
    throw error;
  }
}

async function launchNginx(
  program: string,
  dir: string,
  port: number,
  { upstreams, servers }: NginxOptions,
): Promise<Service> {
  const file = join(dir, 'nginx.conf');
  await writeFile(file, nginxConfig(dir, servers?.(port) ?? balancer(port, upstreams)));
  return startService(program, ['-p', dir, '-c', file], {
    // Written when the port is bound. A taken port makes nginx try for 2.5 s and then end.
    ready: /using the "\w+" event method/,
    cwd: dir,
  });
}

function nginxConfig(dir: string, servers: string): string {
  // A single process, so that none is left behind when this one is killed.
  return `
daemon off;
master_process off;
worker_processes 1;
pid ${dir}/nginx.pid;
error_log stderr notice;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path ${dir}/body;
  proxy_temp_path ${dir}/proxy;
  fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi;
  scgi_temp_path ${dir}/scgi;
  ${servers}
}
`;
}

/**
 * Connections to the nodes are not kept: a node may close an idle one at the very moment when the next request is written
 * to it, and a POST must not be sent twice.
 */
function balancer(port: number, upstreams: readonly number[]): string {
  // max_fails=0: else one 502 of a node that is starting takes it out of the rotation for 10 s.
  const servers = upstreams.map((upstream) => `server 127.0.0.1:${upstream} max_fails=0;`);
  return `
  upstream nodes {
    ${servers.join('\n    ')}
  }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://nodes;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 3600s;
      proxy_send_timeout 3600s;
      proxy_next_upstream off;
      client_max_body_size 64m;
    }
  }`;
}
