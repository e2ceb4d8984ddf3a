"""`python -m workers.service`: the whole service on one machine."""

from workers.service.supervisor import main

if __name__ == "__main__":
    main()
