"""`python -m mlx_hub.cli`: the same as `mlx-hub`."""

from mlx_hub.cli.main import main

if __name__ == "__main__":
    main()
