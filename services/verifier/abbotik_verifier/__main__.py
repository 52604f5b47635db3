"""`python -m abbotik_verifier`."""

from abbotik_runtime.service import main
from abbotik_verifier.app import SERVICE, build
from abbotik_verifier.settings import Settings

if __name__ == "__main__":
    main(SERVICE, Settings, build)
