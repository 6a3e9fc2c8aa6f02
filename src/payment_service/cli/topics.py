"""`topics`: making what is missing of them."""

from __future__ import annotations

import logging

import typer

from payment_service.config.config import KafkaSettings

group = typer.Typer(name="topics", help="Topics of Kafka.", no_args_is_help=True)


@group.command("create")
def create_topics() -> None:
    """Create the topics that are missing; needs KAFKA_BROKERS alone."""
    from payment_service.kafka.topics import create_topics as create

    logging.getLogger("librdkafka").setLevel(
        logging.CRITICAL
    )  # it would tell of each attempt; the exception tells it once
    created = create(KafkaSettings.from_environment())
    typer.echo("\n".join(f"created {name}" for name in created) or "all topics exist")


@group.callback()
def _topics() -> None:
    """Make `topics` a group even while it has one command."""
