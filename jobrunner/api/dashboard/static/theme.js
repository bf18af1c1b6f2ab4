// Before the first paint, hence no module: light, dark, or what the system prefers.
document.documentElement.dataset.theme = localStorage.getItem("jobrunner-theme") ?? "system";
