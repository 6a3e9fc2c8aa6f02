"""Write what `payment_service.config` says about the environment into the README and `.env.example`. A test compares."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from payment_service.config import BankTransferSettings, Config, needed_by
from payment_service.secret_files import FILE_SUFFIX, is_secret

ROOT: Final = Path(__file__).resolve().parents[1]
BEGIN: Final = "<!-- made by scripts/document_configuration.py from config.py -->"
END: Final = "<!-- end of what is made -->"
FIELDS: Final = {**Config.model_fields, **BankTransferSettings.model_fields}
DEFAULT_PROVIDERS: Final = Config.model_fields["providers"].default


def table() -> str:
    """Give the README's table of configuration."""
    rows = [f"| {names(name, field)} | {default(field)} | {field.description} |" for name, field in FIELDS.items()]
    return "\n".join(["| Variable | Default | |", "|---|---|---|", *rows])


def env_example() -> str:
    """Give `.env.example`: what has to be set, then what has a default, as a comment."""
    fields = FIELDS.items()
    lines = ["# The environment of payment-service. Without a default:", ""]
    lines += [
        f"# {field.description}{in_file(name, field)}\n{name.upper()}=\n"
        for name, field in fields
        if must_be_set(field)
    ]
    lines += ["# With a default, shown here:", ""]
    lines += [
        f"# {field.description}\n# {name.upper()}={text(field.default)}\n"
        for name, field in fields
        if not must_be_set(field)
    ]
    return "\n".join(lines)


def readme(old: str) -> str:
    """Give the README with its table replaced (or, when it has none yet, appended)."""
    block = f"{BEGIN}\n\n{table()}\n\n{END}"
    before, found, rest = old.partition(BEGIN)
    if not found:
        return f"{old.rstrip()}\n\n## Configuration\n\n{block}\n".lstrip()
    return before + block + rest.partition(END)[2]


def must_be_set(field: FieldInfo) -> bool:
    """Tell whether the service can't start without it, with the providers that run by default."""
    provider = needed_by(field)
    return provider in DEFAULT_PROVIDERS if provider else field.is_required()


def names(name: str, field: FieldInfo) -> str:
    """Give a setting's variable, and the one that names a file with it."""
    return f"`{name.upper()}`" + (f" or `{name.upper()}{FILE_SUFFIX}`" if is_secret(field) else "")


def in_file(name: str, field: FieldInfo) -> str:
    """Give the comment on a secret that may stand in a file."""
    return f" Or {name.upper()}{FILE_SUFFIX}= with the file that holds it." if is_secret(field) else ""


def default(field: FieldInfo) -> str:
    """Give a cell of the table."""
    if provider := needed_by(field):
        return f"required by `{provider}`"
    if field.is_required():
        return "required"
    return f"`{text(field.default)}`" if text(field.default) else ""


def text(value: Any) -> str:
    """Write a default as it is written in the environment."""
    match value:
        case timedelta(days=days) if value == timedelta(days=days):
            return f"{days}d"
        case _ if value is PydanticUndefined:
            return ""
        case tuple():
            return ",".join(value)
        case _:
            return str(value)


def main() -> None:
    """Write both files."""
    path = ROOT / "README.md"
    path.write_text(readme(path.read_text() if path.exists() else ""))
    (ROOT / ".env.example").write_text(env_example())


if __name__ == "__main__":
    main()
