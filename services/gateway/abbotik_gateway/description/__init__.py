"""The API's own description: `/openapi.json`, made from the operations and the contracts."""
