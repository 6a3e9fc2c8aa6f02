// Tells the page that opened the 3-D Secure step that it is over; what came of it, that page asks the API.
window.parent.postMessage("stripe-sandbox:authenticated", "*");
