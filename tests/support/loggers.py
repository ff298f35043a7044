"""A logger as a team would write one."""

from pytorch_lightning.loggers import CSVLogger

from regraft.tracking import Record


class Ours(CSVLogger):
    """Takes what was recorded so far."""

    def __init__(self, record: Record, *, name: str) -> None:
        super().__init__(record.job.folder, name=name)
        record.add(noted=name)
