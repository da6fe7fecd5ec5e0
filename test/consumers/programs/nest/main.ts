// An application of NestJS, which is CommonJS, with the middleware in a module of it.
import 'reflect-metadata';
import { Injectable, Module, type MiddlewareConsumer, type NestModule } from '@nestjs/common';
import type { OnApplicationShutdown } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { anynode, redisBackplane, type Anynode, type ServerLike } from 'mcp-anynode';

const { buildServer } = require('../server.cjs') as { buildServer: () => ServerLike };
const { play, settings } = require('../session.cjs') as {
  play: (url: string) => Promise<object>;
  settings: () => { redis: string; prefix: string };
};

@Injectable()
class Mcp implements OnApplicationShutdown {
  readonly node: Anynode = anynode({ server: buildServer, backplane: redisBackplane(settings()) });

  async onApplicationShutdown(): Promise<void> {
    await this.node.close();
  }
}

@Module({ providers: [Mcp] })
class McpModule implements NestModule {
  constructor(private readonly mcp: Mcp) {}

  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(this.mcp.node).forRoutes('mcp');
  }
}

async function main(): Promise<void> {
  const app = await NestFactory.create(McpModule, { logger: ['error', 'warn'] });
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as { port: number };
  const played = await play(`http://127.0.0.1:${port}/mcp`);
  await app.close();
  console.log(JSON.stringify(played));
}

void main();
