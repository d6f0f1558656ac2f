"""The client's side of an endpoint: estimates, jobs and their results."""
