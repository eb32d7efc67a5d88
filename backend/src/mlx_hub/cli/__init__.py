"""The command line. It talks HTTP alone, and imports neither MLX nor the database, so that it starts at once."""
