"""`python -m abbotik_factory`."""

from abbotik_factory.app import SERVICE, build
from abbotik_factory.settings import Settings
from abbotik_runtime.service import main

if __name__ == "__main__":
    main(SERVICE, Settings, build)
