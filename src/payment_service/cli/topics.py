"""`topics`: commands for Kafka topics."""

from __future__ import annotations

import logging

import typer

from payment_service.config.config import KafkaSettings

group = typer.Typer(name="topics", help="Kafka topics.", no_args_is_help=True)


@group.command("create")
def create_topics() -> None:
    """Create missing topics. Needs only KAFKA_BROKERS."""
    from payment_service.kafka.topics import create_topics as create

    logging.getLogger("librdkafka").setLevel(
        logging.CRITICAL
    )  # librdkafka would log each attempt; the exception reports the error once
    created = create(KafkaSettings.from_environment())
    typer.echo("\n".join(f"created {name}" for name in created) or "all topics exist")


@group.callback()
def _topics() -> None:
    """Make `topics` a group although it has a single command."""
