import { Suspense } from "react";
import { Models } from "@/features/models/components/models";

export const metadata = { title: "Models" };

export default function ModelsPage() {
  return (
    <Suspense>
      <Models />
    </Suspense>
  );
}
