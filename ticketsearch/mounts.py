"""On which file system a folder lies: on those of a network the kernel's word on locks is not always heard."""

import re
from pathlib import Path

NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "beegfs", "gpfs")
"""File systems that several hosts may write to; `fuse.NAME` counts as NAME, and sshfs too."""

MOUNTS = Path("/proc/mounts")


def network(folder: Path, mounts: str | None = None) -> str:
    """The network file system that a folder lies on, as `nfs4 (server:/export)`; "": it lies on none that is known.

    Args:
        folder: need not exist.
        mounts: as /proc/mounts has it; None: of this system.
    """
    if mounts is None:
        try:
            mounts = MOUNTS.read_text(errors="replace")
        except OSError:
            return ""
    place, found, depth = folder.resolve(), "", -1
    for line in mounts.splitlines():
        source, where, kind, *_ = (*line.split(), "", "", "")
        where = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), where)
        point = Path(where)
        if where and place.is_relative_to(point) and len(point.parts) >= depth:  # a later mount hides an earlier one
            name, depth = kind.removeprefix("fuse."), len(point.parts)
            found = f"{kind} ({source})" if name in (*NETWORK, "sshfs") else ""
    return found
