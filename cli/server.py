"""`onward server`: the project's own Prefect server."""

from __future__ import annotations

from typing import Any

import typer

from cli.output import Json, answer, here, note

app = typer.Typer(
    help="The project's own Prefect server: on 127.0.0.1, SQLite.",
    no_args_is_help=True,
)


@app.command()
def start(as_json: Json = False) -> None:
    """Start the server and say where its dashboard is.

    `onward run` does this by itself where no other server is configured.
    """
    from tasks import server

    running = server.start(here(), note)
    answer(as_json, _data(running), *_where(running.api, running.dashboard))


@app.command()
def stop(as_json: Json = False) -> None:
    """Stop the server. Its history stays in .onward/prefect."""
    from tasks import server

    stopped = server.stop(here())
    text = "The Prefect server is stopped" if stopped else "No Prefect server was running"
    answer(as_json, {"stopped": stopped}, text)


@app.command()
def status(as_json: Json = False) -> None:
    """Say which server a run would use, and whether it answers."""
    from tasks import server

    if api := server.configured():
        up = server.healthy(api)
        text = f"Configured: {api}, {'answers' if up else 'does not answer'}"
        answer(as_json, {"configured": True, "api": api, "answers": up}, text)
        return
    running = server.find(here())
    if running is None:
        answer(as_json, {"configured": False, "answers": False}, "No Prefect server is running")
        return
    data = {**_data(running), "answers": server.healthy(running.api)}
    text = "Running" if data["answers"] else "Running, but it does not answer"
    answer(as_json, data, text, *_where(running.api, running.dashboard))


def _data(running: Any) -> dict[str, Any]:
    return {
        "configured": False,
        "pid": running.pid,
        "api": running.api,
        "dashboard": running.dashboard,
    }


def _where(api: str, dashboard: str) -> list[str]:
    return [
        f"Dashboard  {dashboard}",
        f"Address    export PREFECT_API_URL={api}",
        "Stop       onward server stop",
    ]
