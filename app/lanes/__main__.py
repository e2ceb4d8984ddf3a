"""`python -m app.lanes`: serves requests on this host."""

from app.lanes.parent import main

if __name__ == "__main__":
    main()
