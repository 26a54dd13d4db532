// Looks again whether long work has finished. Without it there is a link.
setTimeout(() => location.reload(), 2000);
