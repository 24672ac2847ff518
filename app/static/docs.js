// Swagger UI, from this server's own files.

const container = document.getElementById("swagger-ui");
const specification = await (await fetch(container.dataset.url)).json();

// This version of Swagger UI rejects the number of OpenAPI 3.1, but supports what is used of it here.
SwaggerUIBundle({
  spec: { ...specification, openapi: "3.0.3" },
  domNode: container,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  validatorUrl: null, // it would call another site
});
