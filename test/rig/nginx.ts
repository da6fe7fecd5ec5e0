import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireBinary } from './binaries.js';
import { startOnPort, startService, type Service } from './service.js';

export interface NginxOptions {
  /** The ports of the nodes, on the loopback interface. Requests go to them in turn. */
  upstreams: readonly number[];
  /** The port to listen on. Left out or 0: a free port. */
  port?: number;
  /** Returns the part of the `http` block for the nodes, instead of a plain balancer. Called with the port to listen on. */
  servers?: (port: number) => string;
}

export interface Nginx {
  port: number;
  url: string;
  /** The last part of the log. */
  readonly output: string;
  stop: () => Promise<void>;
}

/**
 * Starts nginx as a plain round-robin balancer. There is no affinity: each request goes to the next node.
 *
 * It can run as any user and beside the nginx of the system, because all its files are in their own folder. If it does not
 * start, the error contains its log. If nginx is not installed, the error says what to do.
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
    // nginx writes this line when it has bound the port. If the port is taken, it tries for 2.5 s and then ends.
    ready: /using the "\w+" event method/,
    cwd: dir,
  });
}

function nginxConfig(dir: string, servers: string): string {
  // nginx runs as a single process, so that no other process is left when it is killed.
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
 * Returns the part of the configuration that balances. Connections to the nodes are not kept: a node may close an idle
 * connection just when nginx writes the next request to it, and a POST must not be sent twice.
 */
function balancer(port: number, upstreams: readonly number[]): string {
  // Without `max_fails=0`, one failure of a node that is still starting would take it out of the rotation for 10 s.
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
