"""`python -m unified_mlx_app.main [--api-only] [--host HOST] [--port PORT]` starts the inference server."""

if __name__ == "__main__":
    # The processes that render templates import the main module again: they need none of this.
    from unified_mlx_app.server import main

    main()
