"""`ticketsearch run`."""

import sys

HELP = """\
Draw a ticket per round, train it, evaluate it. What is done already is not done again: the same command resumes,
and more rounds or seeds extend a run.

usage: ticketsearch run [key=value ...] [--cfg job] [--debug]

groups:   dataset model pruner schedule rewind rest recipe metrics experiment   (choices: the files of conf/GROUP)
keys:     seed replicates order_seed prunable controls device precision engine threads out extensions
          (meaning: conf/config.yaml)
settings: schedule.rounds schedule.rate recipe.epochs recipe.batch_size recipe.lr dataset.root dataset.subset ...

examples:
  ticketsearch run                                   LTH with ResNet-20 on the embedded digits, 21 rounds
  ticketsearch run pruner=random schedule.rounds=10
  ticketsearch run pruner=lth rewind=step rewind.at=2ep
  ticketsearch run pruner=omp replicates=3           seeds 0, 1 and 2
  ticketsearch run pruner=lth controls=true          and what should lose: reinit, shuffle, reshuffle, invert, reorder
  ticketsearch run experiment=smoke                  seconds, to see that everything works
  ticketsearch run pruner=lth --cfg job              show the configuration and stop
"""


def main(arguments: list[str]) -> int:
    """Run one configuration.

    Raises:
        TicketError: see `ticketsearch.errors`.
    """
    from ticketsearch.compose import compose

    if "--cfg" in arguments:
        return _show(arguments)
    config = compose(arguments)

    from ticketsearch.console import display
    from ticketsearch.runner import run

    with display() as shown:
        run(config, shown)
    return 0


def _show(arguments: list[str]) -> int:
    """Print the composed configuration as yaml."""
    from omegaconf import OmegaConf

    from ticketsearch.compose import compose
    from ticketsearch.errors import UsageError

    at = arguments.index("--cfg")
    if arguments[at + 1 : at + 2] != ["job"]:
        raise UsageError("--cfg shows the job's configuration", "it is written --cfg job", "ticketsearch run --cfg job")
    config = compose(arguments[:at] + arguments[at + 2 :])
    sys.stdout.write(f"# {config.run_name}\n" + OmegaConf.to_yaml(OmegaConf.create(config.shown())))
    return 0
