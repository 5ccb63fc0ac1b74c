"""The errors a user can meet. Each message says what, where, and how to mend it, in one sentence
or two; the command line prints it without a traceback and exits with `exit_code`."""


class FuwError(Exception):
    """Base of every error that is the input's or the installation's, not a bug of ours."""

    exit_code = 1


class InputError(FuwError):
    """A photo, parse map, mask or keypoint file that cannot be used."""

    exit_code = 3


class NoPersonError(InputError):
    """No person was found where one is needed."""

    exit_code = 4


class CheckpointError(FuwError):
    """A checkpoint that is missing, broken, or of another network."""

    exit_code = 5


class UnknownNetwork(FuwError):
    """A network or variant name that is not in the table."""

    exit_code = 2


class BackendError(FuwError):
    """A runtime that is not installed, does not open, or was given tensors of the wrong kind."""

    exit_code = 6


class NoRoom(BackendError):
    """A GPU, or a machine, without enough free memory."""


class ExportError(FuwError):
    """An exported network that did not prove equal to what it came from."""

    exit_code = 7


class DownloadError(FuwError):
    """A download that failed, was refused, or arrived as something else."""

    exit_code = 8


class StoreError(FuwError):
    """An engine cache that cannot be read, written or locked."""

    exit_code = 9


class OutputError(FuwError):
    """A result that could not be written: no room, no right, or no format for that name."""

    exit_code = 10
