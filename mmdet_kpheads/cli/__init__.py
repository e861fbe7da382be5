"""The command ``mmdet-kpheads``: one module per subcommand."""
