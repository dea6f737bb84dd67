"""What the tests need beside Python: a browser, and Prometheus with promtool; installed where CI=true.

CI fails without them, a laptop skips their tests and says so (tests/support/programs.py).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

#: Any of these programs, and the Debian package that has one.
NEEDED = {
    "chromium": ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser"),
    "prometheus": ("promtool",),
}


def main() -> int:
    """Install what is missing; return the exit code."""
    missing = [package for package, names in NEEDED.items() if not any(map(shutil.which, names))]
    if not missing or os.environ.get("CI") != "true":
        return 0
    if shutil.which("apt-get") is None:
        print(f"missing: {', '.join(missing)}; its tests will fail", file=sys.stderr)
        return 0
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    quiet = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL}
    subprocess.run([*sudo, "apt-get", "update", "-qq"], check=False, **quiet)  # type: ignore[call-overload]
    install = [*sudo, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    return subprocess.run(install, check=False, **quiet).returncode  # type: ignore[call-overload,no-any-return]


if __name__ == "__main__":
    sys.exit(main())
