"""Strange calls at every door of a running API, made by schemathesis from the API's own OpenAPI document."""
