"""Runs the `twofold` command. Imports nothing at first: Ctrl-C ends it quietly from here on."""


def main() -> None:
    try:
        from twofold.commands import build

        build()()
    except KeyboardInterrupt:  # before a command could see to it: while it is imported
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
