"""The controllers: plain API clients that bring the cluster's state to what its objects ask for."""
