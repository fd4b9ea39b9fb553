"""`python -m xai` is the command `xai`, where its script is on no path."""

from xai.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
