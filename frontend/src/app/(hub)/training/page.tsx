import { Suspense } from "react";
import { Jobs } from "@/features/training/components/jobs";

export const metadata = { title: "Training" };

export default function TrainingPage() {
  return (
    <Suspense>
      <Jobs />
    </Suspense>
  );
}
