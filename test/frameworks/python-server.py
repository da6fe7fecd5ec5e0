"""A server of the official Python SDK (mcp 2), as its documentation has it: one process, which knows nothing of nodes."""

import asyncio
import os

from mcp.server.mcpserver import Context, MCPServer
from mcp.types import SamplingMessage, TextContent
from pydantic import BaseModel

server = MCPServer("weather")


class Name(BaseModel):
    name: str


@server.tool()
def add(a: int, b: int) -> str:
    """Adds two numbers"""
    return str(a + b)


@server.tool()
async def report(line: str, ctx: Context) -> str:
    """Logs a line"""
    await ctx.info(line)
    return "reported"


@server.tool()
async def count(to: int, ctx: Context) -> str:
    """Counts slowly, and reports its progress"""
    for number in range(1, to + 1):
        await ctx.report_progress(number, to)
        await asyncio.sleep(0.1)
    return "counted"


@server.tool()
async def ask(ctx: Context) -> str:
    """Asks the user for a name"""
    result = await ctx.elicit("Your name?", Name)
    return f"{result.action} {result.data.name}" if result.action == "accept" else result.action


@server.tool()
async def complete(text: str, ctx: Context) -> str:
    """Has the client's model complete a text"""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=text))
    result = await ctx.session.create_message(messages=[message], max_tokens=10)
    return result.content.text


if __name__ == "__main__":
    server.run("streamable-http", host="127.0.0.1", port=int(os.environ["PORT"]))
