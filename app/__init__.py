"""The faces of the studio: command line now, browser next. Never imports torch."""
