"""The built-in task modules. A user's own module is one more entry in `task_modules`."""
