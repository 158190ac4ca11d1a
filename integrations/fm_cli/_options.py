"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from ._failures import OUTPUT_VARIABLE
from ._output import Output


def endpoint_names(incomplete: str) -> Iterator[str]:
    """For shell completion: the hosted endpoints of the catalog, without asking anyone."""
    from fm_client import catalog

    names = (model.endpoint for model in catalog.models() if catalog.retirement(model.endpoint) is None)
    return (name for name in names if name.startswith(incomplete))


OutputOption = Annotated[
    Output, typer.Option("--output", envvar=OUTPUT_VARIABLE, help="text for people, json for programs.")
]
HostOption = Annotated[
    str | None,
    typer.Option(
        "--host",
        help="Workspace to ask: its address, or `local` for the embedded one. Otherwise DATABRICKS_HOST, or the "
        "profile's. A token is taken from the environment or the profile alone.",
    ),
]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", help="Profile of ~/.databrickscfg; otherwise DATABRICKS_CONFIG_PROFILE.")
]
EndpointArgument = Annotated[
    str, typer.Argument(metavar="ENDPOINT", help="Name of a serving endpoint.", autocompletion=endpoint_names)
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of a serving endpoint.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Tokens, time and endpoint, on standard error.")]
PromptArgument = Annotated[
    str | None, typer.Argument(metavar="PROMPT", help="What to ask; `-`, or nothing in a pipe, reads standard input.")
]
TemperatureOption = Annotated[float | None, typer.Option(min=0.0, max=2.0, help="0 to 2.")]
MaxTokensOption = Annotated[int | None, typer.Option(min=1, help="Longest answer, in tokens.")]
StopOption = Annotated[list[str] | None, typer.Option(help="Text at which the answer ends; repeatable.")]
WaitReadyOption = Annotated[
    float | None, typer.Option(min=0.0, help="Seconds to wait for an endpoint that starts or deploys.")
]
TimeoutOption = Annotated[float, typer.Option(min=0.0, help="Seconds to wait at most.")]
