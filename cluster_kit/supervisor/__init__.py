"""Lives in the application's process: starts workers, restarts what fails, delivers events."""
