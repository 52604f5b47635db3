"""`python -m abbotik_gateway`."""

from abbotik_gateway.app import main

if __name__ == "__main__":
    main()
