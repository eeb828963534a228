"""What object storage and file systems raise, as errors of this project."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from gateway_tuning.errors import ConfigurationError, GatewayTuningError, StorageUnavailableError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def of_file_system(error: OSError, uri: str) -> GatewayTuningError:
    if error.errno in NO_SPACE:
        return StorageUnavailableError(
            f"No space is left for {uri} ({error.strerror}); free some or move the storage, then run again"
        )
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return ConfigurationError(
            f"{uri} may not be read or written ({error}); check the owner and mode of its folder"
        )
    return StorageUnavailableError(
        f"{uri} cannot be read or written now ({error}); check the disk, then run again"
    )


@contextmanager
def told(uri: str) -> Iterator[None]:
    """Faults of a file system as errors that name the object; that a file is missing or there already stays as it is."""
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except (IsADirectoryError, NotADirectoryError) as error:
        raise FileNotFoundError(uri) from error
    except OSError as error:
        raise of_file_system(error, uri) from error
