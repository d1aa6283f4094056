"""Run lipscope as ``python -m lipscope``."""

from lipscope.cli import main

if __name__ == "__main__":
    main()
