"""``python -m deepseek_messages`` is the ``deepseek-messages`` command."""

from deepseek_messages.cli import main

if __name__ == "__main__":
    main()
